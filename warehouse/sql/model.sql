SELECT m.labels, m.taxonomy_digest, list(k.label) FILTER (k.in_differential) AS counting
FROM dim_model AS m
LEFT JOIN dim_cell_class AS k USING (taxonomy_digest)
WHERE m.digest = $digest
GROUP BY ALL
