-- What the database holds of an analysis that is being stored, counted from the rows themselves.
WITH mine AS (
    SELECT cell_id, field_id, cell_class FROM fact_cell WHERE result_key = $result_key AND rowid >= $first_cell
),
whole AS (
    SELECT count(*) AS cells, count(DISTINCT cell_id) AS cell_ids FROM mine
),
found AS (
    SELECT field_id, cell_class, count(*) AS cells FROM mine GROUP BY ALL
),
fields AS (
    SELECT field_id, found_cells FROM fact_field WHERE result_key = $result_key AND rowid >= $first_field
),
in_fields AS (
    SELECT
        coalesce(sum(cells) FILTER (found_cells IS NULL), 0) AS homeless,
        count(*) FILTER (found_cells <> coalesce(cells, 0)) AS field_faults
    FROM fields
    FULL JOIN (SELECT field_id, sum(cells) AS cells FROM found GROUP BY field_id) USING (field_id)
),
in_classes AS (
    SELECT
        coalesce(sum(cells), 0) AS class_cells,
        coalesce(sum(cells) FILTER (in_differential), 0) AS counted_cells
    FROM found
    JOIN dim_cell_class ON label = cell_class
    WHERE taxonomy_digest = $taxonomy_digest
)
SELECT * FROM whole, in_fields, in_classes
