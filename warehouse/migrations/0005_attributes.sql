-- Morphology of cells, for models that tell it: one row a cell and attribute, stored and shown together with the cells.

CREATE TABLE dim_attribute_value (
    model_digest VARCHAR NOT NULL,
    attribute VARCHAR NOT NULL,
    value VARCHAR NOT NULL,
    attribute_position INTEGER NOT NULL,
    value_position INTEGER NOT NULL,
    PRIMARY KEY (model_digest, attribute, value)
);
COMMENT ON TABLE dim_attribute_value IS 'One row a value that a model can tell of a morphology attribute.';
COMMENT ON COLUMN dim_attribute_value.model_digest IS 'The model bundle, see dim_model.digest.';
COMMENT ON COLUMN dim_attribute_value.attribute IS 'Name of the attribute.';
COMMENT ON COLUMN dim_attribute_value.value IS 'The value.';
COMMENT ON COLUMN dim_attribute_value.attribute_position IS 'Place of the attribute in the model, from 0.';
COMMENT ON COLUMN dim_attribute_value.value_position IS 'Place of the value in the attribute, from 0.';

-- No key on this table, for the reason that fact_cell has none.
CREATE TABLE fact_cell_attribute (
    result_key VARCHAR NOT NULL,
    cell_id INTEGER NOT NULL,
    attribute VARCHAR NOT NULL,
    value VARCHAR NOT NULL,
    confidence FLOAT NOT NULL CHECK (confidence BETWEEN 0 AND 1)
);
COMMENT ON TABLE fact_cell_attribute IS 'One row a detected cell and morphology attribute; none for a model that tells no attributes.';
COMMENT ON COLUMN fact_cell_attribute.result_key IS 'The analysis.';
COMMENT ON COLUMN fact_cell_attribute.cell_id IS 'Number of the cell in the slide, see fact_cell.cell_id.';
COMMENT ON COLUMN fact_cell_attribute.attribute IS 'Name of the attribute.';
COMMENT ON COLUMN fact_cell_attribute.value IS 'Most probable value of the attribute.';
COMMENT ON COLUMN fact_cell_attribute.confidence IS 'Probability of that value.';

CREATE VIEW cell_attributes AS
SELECT a.slide_id, a.patient_id, t.cell_id, t.attribute, t.value, t.confidence, a.model_digest
FROM fact_cell_attribute AS t JOIN analyses AS a USING (result_key);
COMMENT ON VIEW cell_attributes IS 'Morphology of every cell of the current analyses, one row a cell and attribute; none for a model that tells no attributes.';
COMMENT ON COLUMN cell_attributes.slide_id IS 'The slide.';
COMMENT ON COLUMN cell_attributes.patient_id IS 'Keyed hash of the patient''s id.';
COMMENT ON COLUMN cell_attributes.cell_id IS 'Number of the cell in the slide, see cells.';
COMMENT ON COLUMN cell_attributes.attribute IS 'Name of the attribute.';
COMMENT ON COLUMN cell_attributes.value IS 'Most probable value of the attribute.';
COMMENT ON COLUMN cell_attributes.confidence IS 'Probability of that value.';
COMMENT ON COLUMN cell_attributes.model_digest IS 'The model bundle.';

CREATE VIEW attribute_counts AS
WITH classes AS (
    SELECT result_key, cell_class, count(*) AS class_cells FROM fact_cell GROUP BY ALL
),
told AS (
    SELECT t.result_key, c.cell_class, t.attribute, t.value, count(*) AS cells
    FROM fact_cell_attribute AS t JOIN fact_cell AS c USING (result_key, cell_id)
    GROUP BY ALL
)
SELECT
    a.slide_id, a.patient_id, k.cell_class, v.attribute, v.value, coalesce(t.cells, 0) AS cells,
    100.0::DOUBLE * coalesce(t.cells, 0) / k.class_cells AS percent,
    k.class_cells, v.attribute_position, v.value_position, a.specimen, a.model_digest
FROM analyses AS a
JOIN dim_attribute_value AS v USING (model_digest)
JOIN classes AS k USING (result_key)
LEFT JOIN told AS t
    ON t.result_key = a.result_key AND t.cell_class = k.cell_class AND t.attribute = v.attribute AND t.value = v.value;
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

COMMENT ON COLUMN expectation_result.gate IS 'Where in the run: manifest, cells, attributes or night.';
COMMENT ON COLUMN validations.gate IS 'manifest, cells, attributes or night.';
