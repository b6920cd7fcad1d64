UPDATE fact_analysis SET is_current = (result_key = $result_key)
WHERE slide_id = (SELECT slide_id FROM fact_analysis WHERE result_key = $result_key)
    AND is_current <> (result_key = $result_key)
