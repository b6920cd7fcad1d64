-- How many cells of each class, and of each value of an attribute, an analysis has: counted once, in the transaction that
-- stores the cells, so that neither a diagnosis nor an analyst ever counts all cells again.

-- No key on these tables, for the reason that fact_cell has none.
CREATE TABLE fact_cell_count (
    result_key VARCHAR NOT NULL,
    cell_class VARCHAR NOT NULL,
    cells INTEGER NOT NULL CHECK (cells >= 0)
);
COMMENT ON TABLE fact_cell_count IS 'Cells of each class of the model in an analysis, one row a class; counted from fact_cell when it was stored.';
COMMENT ON COLUMN fact_cell_count.result_key IS 'The analysis.';
COMMENT ON COLUMN fact_cell_count.cell_class IS 'The class.';
COMMENT ON COLUMN fact_cell_count.cells IS 'Cells of the class; 0 where none was found.';

INSERT INTO fact_cell_count
WITH offered AS (
    SELECT a.result_key, unnest(m.labels) AS cell_class, unnest(range(len(m.labels))) AS place
    FROM fact_analysis AS a JOIN dim_model AS m ON m.digest = a.model_digest
),
counted AS (
    SELECT result_key, cell_class, count(*) AS cells FROM fact_cell GROUP BY ALL
)
SELECT result_key, cell_class, coalesce(cells, 0)
FROM offered LEFT JOIN counted USING (result_key, cell_class)
ORDER BY result_key, place;

CREATE TABLE fact_attribute_count (
    result_key VARCHAR NOT NULL,
    cell_class VARCHAR NOT NULL,
    attribute VARCHAR NOT NULL,
    value VARCHAR NOT NULL,
    cells INTEGER NOT NULL CHECK (cells >= 0),
    class_cells INTEGER NOT NULL CHECK (class_cells > 0),
    attribute_position INTEGER NOT NULL,
    value_position INTEGER NOT NULL
);
COMMENT ON TABLE fact_attribute_count IS 'Cells of each class that was found with each value of each attribute; counted from fact_cell_attribute when it was stored.';
COMMENT ON COLUMN fact_attribute_count.result_key IS 'The analysis.';
COMMENT ON COLUMN fact_attribute_count.cell_class IS 'The class.';
COMMENT ON COLUMN fact_attribute_count.attribute IS 'Name of the attribute.';
COMMENT ON COLUMN fact_attribute_count.value IS 'The value.';
COMMENT ON COLUMN fact_attribute_count.cells IS 'Cells of the class whose most probable value it is; 0 where none has it.';
COMMENT ON COLUMN fact_attribute_count.class_cells IS 'Cells of the class.';
COMMENT ON COLUMN fact_attribute_count.attribute_position IS 'Place of the attribute in the model, from 0.';
COMMENT ON COLUMN fact_attribute_count.value_position IS 'Place of the value in the attribute, from 0.';

INSERT INTO fact_attribute_count
WITH told AS (
    SELECT t.result_key, c.cell_class, t.attribute, t.value, count(*) AS cells
    FROM fact_cell_attribute AS t JOIN fact_cell AS c USING (result_key, cell_id)
    GROUP BY ALL
)
SELECT
    a.result_key, k.cell_class, v.attribute, v.value, coalesce(t.cells, 0), k.cells, v.attribute_position, v.value_position
FROM fact_analysis AS a
JOIN dim_attribute_value AS v USING (model_digest)
JOIN fact_cell_count AS k ON k.result_key = a.result_key AND k.cells > 0
LEFT JOIN told AS t
    ON t.result_key = a.result_key AND t.cell_class = k.cell_class AND t.attribute = v.attribute AND t.value = v.value
ORDER BY ALL;

CREATE OR REPLACE VIEW cell_counts AS
SELECT
    a.slide_id, a.patient_id, c.cell_class, c.cells::BIGINT AS cells,
    CASE WHEN k.in_differential AND a.counted_cells > 0
        THEN 100.0::DOUBLE * c.cells / a.counted_cells END AS percent,
    k.title, k.category, k.lineage, k.in_differential, k.in_me, a.counted_cells, a.specimen, a.model_digest
FROM fact_cell_count AS c
JOIN analyses AS a USING (result_key)
JOIN dim_model AS m ON m.digest = a.model_digest
JOIN dim_cell_class AS k ON k.taxonomy_digest = m.taxonomy_digest AND k.label = c.cell_class;
COMMENT ON VIEW cell_counts IS 'Cells of each class on each slide; classes that were not found are there with 0 cells.';
COMMENT ON COLUMN cell_counts.slide_id IS 'The slide.';
COMMENT ON COLUMN cell_counts.patient_id IS 'Keyed hash of the patient''s id.';
COMMENT ON COLUMN cell_counts.cell_class IS 'The class.';
COMMENT ON COLUMN cell_counts.cells IS 'Cells of the class.';
COMMENT ON COLUMN cell_counts.percent IS 'Percent of the slide''s counted_cells; NULL for a class outside the differential. Sums to 100 a slide.';
COMMENT ON COLUMN cell_counts.title IS 'The class in words.';
COMMENT ON COLUMN cell_counts.category IS 'ICSH 2008 category; NULL outside the differential.';
COMMENT ON COLUMN cell_counts.lineage IS 'Lineage of the class.';
COMMENT ON COLUMN cell_counts.in_differential IS 'Whether the class counts in the differential.';
COMMENT ON COLUMN cell_counts.in_me IS 'M or E: the side of the myeloid:erythroid ratio.';
COMMENT ON COLUMN cell_counts.counted_cells IS 'Cells of the slide whose class is in the differential.';
COMMENT ON COLUMN cell_counts.specimen IS 'bone_marrow or blood.';
COMMENT ON COLUMN cell_counts.model_digest IS 'The model bundle.';

CREATE OR REPLACE VIEW attribute_counts AS
SELECT
    a.slide_id, a.patient_id, t.cell_class, t.attribute, t.value, t.cells::BIGINT AS cells,
    100.0::DOUBLE * t.cells / t.class_cells AS percent,
    t.class_cells::BIGINT AS class_cells, t.attribute_position, t.value_position, a.specimen, a.model_digest
FROM fact_attribute_count AS t JOIN analyses AS a USING (result_key);
COMMENT ON VIEW attribute_counts IS 'Cells of each class with each value of each morphology attribute, for every class found on the slide; values that no cell has are there with 0 cells.';
COMMENT ON COLUMN attribute_counts.slide_id IS 'The slide.';
COMMENT ON COLUMN attribute_counts.patient_id IS 'Keyed hash of the patient''s id.';
COMMENT ON COLUMN attribute_counts.cell_class IS 'The class, see cell_counts.';
COMMENT ON COLUMN attribute_counts.attribute IS 'Name of the attribute.';
COMMENT ON COLUMN attribute_counts.value IS 'The value.';
COMMENT ON COLUMN attribute_counts.cells IS 'Cells of the class whose most probable value it is.';
COMMENT ON COLUMN attribute_counts.percent IS 'Percent of class_cells. Sums to 100 a slide, class and attribute.';
COMMENT ON COLUMN attribute_counts.class_cells IS 'Cells of the class on the slide.';
COMMENT ON COLUMN attribute_counts.attribute_position IS 'Place of the attribute in the model, from 0.';
COMMENT ON COLUMN attribute_counts.value_position IS 'Place of the value in the attribute, from 0.';
COMMENT ON COLUMN attribute_counts.specimen IS 'bone_marrow or blood.';
COMMENT ON COLUMN attribute_counts.model_digest IS 'The model bundle.';
