DELETE FROM published_result WHERE result_key IN (SELECT result_key FROM result_changed);
INSERT INTO published_result FROM result_now ANTI JOIN published_result USING (result_key) ORDER BY result_key
