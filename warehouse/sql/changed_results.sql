CREATE OR REPLACE TEMP TABLE result_changed AS
SELECT * FROM (FROM result_now EXCEPT FROM published_result) SEMI JOIN published_result USING (result_key)
