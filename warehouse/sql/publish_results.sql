DELETE FROM published_result;
INSERT INTO published_result FROM result_now ORDER BY result_key
