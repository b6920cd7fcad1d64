SELECT run_id, gate, expectation, column_name, raised, unexpected_count, observed
FROM expectation_result
WHERE slide_id = $slide_id AND NOT success
ORDER BY run_id, gate, expectation, column_name
