WITH patients AS (
    SELECT abs(sum(percent) - 100) AS error FROM differentials WHERE total_cells > 0 GROUP BY patient_id
),
slides AS (
    SELECT abs(sum(percent) - 100) AS error FROM cell_counts WHERE counted_cells > 0 GROUP BY slide_id
)
SELECT
    coalesce((SELECT max(error) FROM patients), 0)::DOUBLE AS patients,
    coalesce((SELECT max(error) FROM slides), 0)::DOUBLE AS slides
