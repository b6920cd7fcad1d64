-- Analyses that came with this publication and of which not all cells did.
SELECT count(*) AS short
FROM result_now AS r
LEFT JOIN (
    SELECT result_key, count(*) AS cells FROM fact_cell WHERE rowid >= $first_cell GROUP BY result_key
) AS f USING (result_key)
WHERE r.result_key NOT IN (SELECT result_key FROM published_result) AND r.cells <> coalesce(f.cells, 0)
