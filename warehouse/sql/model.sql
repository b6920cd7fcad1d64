SELECT
    m.labels,
    (SELECT list(k.label) FROM dim_cell_class AS k WHERE k.taxonomy_digest = m.taxonomy_digest AND k.in_differential)
        AS counting
FROM dim_model AS m
WHERE m.digest = $digest
