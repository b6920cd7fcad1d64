-- What the analysts' file has besides the schema of the warehouse. A cell or count there knows whose it is and what its class
-- means, so that a query over all of them reads one table and joins nothing.

ALTER TABLE fact_cell ADD COLUMN slide_id VARCHAR;
ALTER TABLE fact_cell ADD COLUMN patient_id VARCHAR;
ALTER TABLE fact_cell ADD COLUMN model_digest VARCHAR;
ALTER TABLE fact_cell ADD COLUMN title VARCHAR;
ALTER TABLE fact_cell ADD COLUMN category VARCHAR;
ALTER TABLE fact_cell ADD COLUMN lineage VARCHAR;
ALTER TABLE fact_cell ADD COLUMN in_differential BOOLEAN;
ALTER TABLE fact_cell ADD COLUMN shown BOOLEAN;
COMMENT ON COLUMN fact_cell.slide_id IS 'The slide.';
COMMENT ON COLUMN fact_cell.patient_id IS 'Keyed hash of the patient''s id.';
COMMENT ON COLUMN fact_cell.model_digest IS 'The model bundle.';
COMMENT ON COLUMN fact_cell.title IS 'The class in words.';
COMMENT ON COLUMN fact_cell.category IS 'ICSH 2008 category; NULL outside the differential.';
COMMENT ON COLUMN fact_cell.lineage IS 'Lineage of the class.';
COMMENT ON COLUMN fact_cell.in_differential IS 'Whether the cell counts in the differential.';
COMMENT ON COLUMN fact_cell.shown IS 'Whether the view cells has the row: its analysis is current and its slide not in quarantine.';

ALTER TABLE fact_cell_attribute ADD COLUMN slide_id VARCHAR;
ALTER TABLE fact_cell_attribute ADD COLUMN patient_id VARCHAR;
ALTER TABLE fact_cell_attribute ADD COLUMN model_digest VARCHAR;
ALTER TABLE fact_cell_attribute ADD COLUMN shown BOOLEAN;
COMMENT ON COLUMN fact_cell_attribute.slide_id IS 'The slide.';
COMMENT ON COLUMN fact_cell_attribute.patient_id IS 'Keyed hash of the patient''s id.';
COMMENT ON COLUMN fact_cell_attribute.model_digest IS 'The model bundle.';
COMMENT ON COLUMN fact_cell_attribute.shown IS 'Whether the view cell_attributes has the row, see fact_cell.shown.';

ALTER TABLE fact_cell_count ADD COLUMN slide_id VARCHAR;
ALTER TABLE fact_cell_count ADD COLUMN patient_id VARCHAR;
ALTER TABLE fact_cell_count ADD COLUMN specimen VARCHAR;
ALTER TABLE fact_cell_count ADD COLUMN model_digest VARCHAR;
ALTER TABLE fact_cell_count ADD COLUMN title VARCHAR;
ALTER TABLE fact_cell_count ADD COLUMN category VARCHAR;
ALTER TABLE fact_cell_count ADD COLUMN lineage VARCHAR;
ALTER TABLE fact_cell_count ADD COLUMN in_differential BOOLEAN;
ALTER TABLE fact_cell_count ADD COLUMN in_me VARCHAR;
ALTER TABLE fact_cell_count ADD COLUMN counted_cells INTEGER;
ALTER TABLE fact_cell_count ADD COLUMN shown BOOLEAN;
COMMENT ON COLUMN fact_cell_count.slide_id IS 'The slide.';
COMMENT ON COLUMN fact_cell_count.patient_id IS 'Keyed hash of the patient''s id.';
COMMENT ON COLUMN fact_cell_count.specimen IS 'bone_marrow or blood.';
COMMENT ON COLUMN fact_cell_count.model_digest IS 'The model bundle.';
COMMENT ON COLUMN fact_cell_count.title IS 'The class in words.';
COMMENT ON COLUMN fact_cell_count.category IS 'ICSH 2008 category; NULL outside the differential.';
COMMENT ON COLUMN fact_cell_count.lineage IS 'Lineage of the class.';
COMMENT ON COLUMN fact_cell_count.in_differential IS 'Whether the class counts in the differential.';
COMMENT ON COLUMN fact_cell_count.in_me IS 'M or E: the side of the myeloid:erythroid ratio.';
COMMENT ON COLUMN fact_cell_count.counted_cells IS 'Cells of the slide whose class is in the differential.';
COMMENT ON COLUMN fact_cell_count.shown IS 'Whether the view cell_counts has the row, see fact_cell.shown.';

ALTER TABLE fact_attribute_count ADD COLUMN slide_id VARCHAR;
ALTER TABLE fact_attribute_count ADD COLUMN patient_id VARCHAR;
ALTER TABLE fact_attribute_count ADD COLUMN specimen VARCHAR;
ALTER TABLE fact_attribute_count ADD COLUMN model_digest VARCHAR;
ALTER TABLE fact_attribute_count ADD COLUMN shown BOOLEAN;
COMMENT ON COLUMN fact_attribute_count.slide_id IS 'The slide.';
COMMENT ON COLUMN fact_attribute_count.patient_id IS 'Keyed hash of the patient''s id.';
COMMENT ON COLUMN fact_attribute_count.specimen IS 'bone_marrow or blood.';
COMMENT ON COLUMN fact_attribute_count.model_digest IS 'The model bundle.';
COMMENT ON COLUMN fact_attribute_count.shown IS 'Whether the view attribute_counts has the row, see fact_cell.shown.';

CREATE TABLE published_result (
    result_key VARCHAR NOT NULL,
    slide_id VARCHAR NOT NULL,
    patient_id VARCHAR,
    specimen VARCHAR,
    model_digest VARCHAR NOT NULL,
    taxonomy_digest VARCHAR,
    run_id VARCHAR NOT NULL,
    cells INTEGER NOT NULL,
    shown BOOLEAN NOT NULL
);
COMMENT ON TABLE published_result IS 'As what each analysis was published: where this has changed, the next publication puts its rows right.';
COMMENT ON COLUMN published_result.result_key IS 'The analysis.';
COMMENT ON COLUMN published_result.slide_id IS 'The slide.';
COMMENT ON COLUMN published_result.patient_id IS 'Keyed hash of the patient''s id.';
COMMENT ON COLUMN published_result.specimen IS 'bone_marrow or blood.';
COMMENT ON COLUMN published_result.model_digest IS 'The model bundle.';
COMMENT ON COLUMN published_result.taxonomy_digest IS 'The taxonomy that gives its classes their meaning.';
COMMENT ON COLUMN published_result.run_id IS 'The run that made it.';
COMMENT ON COLUMN published_result.cells IS 'Its cells.';
COMMENT ON COLUMN published_result.shown IS 'Whether views show it: it is current and its slide not in quarantine.';

CREATE TABLE publication (
    basis VARCHAR NOT NULL
);
COMMENT ON TABLE publication IS 'What this file was made with; where that changes, the next publication is made anew.';
COMMENT ON COLUMN publication.basis IS 'Digest (hex) over the schema and the marks of the pseudonym keys.';

CREATE OR REPLACE VIEW cells AS
SELECT
    slide_id, cell_id, x_um, y_um, width_um, height_um, cell_class, confidence, detection_score, title, category, lineage,
    in_differential, near_missing, field_id, probabilities, patient_id, model_digest
FROM fact_cell WHERE shown;
COMMENT ON VIEW cells IS 'Every cell of the current analyses, one row a cell.';
COMMENT ON COLUMN cells.slide_id IS 'The slide.';
COMMENT ON COLUMN cells.cell_id IS 'Number of the cell in the slide, from 0.';
COMMENT ON COLUMN cells.x_um IS 'Centre in micrometres from the slide''s left edge.';
COMMENT ON COLUMN cells.y_um IS 'Centre in micrometres from the slide''s top edge.';
COMMENT ON COLUMN cells.width_um IS 'Width of the box in micrometres.';
COMMENT ON COLUMN cells.height_um IS 'Height of the box in micrometres.';
COMMENT ON COLUMN cells.cell_class IS 'Most probable class.';
COMMENT ON COLUMN cells.confidence IS 'Probability of that class.';
COMMENT ON COLUMN cells.detection_score IS 'Score of the detector, 0 to 1.';
COMMENT ON COLUMN cells.title IS 'The class in words.';
COMMENT ON COLUMN cells.category IS 'ICSH 2008 category; NULL outside the differential.';
COMMENT ON COLUMN cells.lineage IS 'Lineage of the class.';
COMMENT ON COLUMN cells.in_differential IS 'Whether the cell counts in the differential.';
COMMENT ON COLUMN cells.near_missing IS 'Whether the cell touches an area without pixels or the slide''s edge.';
COMMENT ON COLUMN cells.field_id IS 'The field, see fields.';
COMMENT ON COLUMN cells.probabilities IS 'Probability of every class, in the order of models.labels.';
COMMENT ON COLUMN cells.patient_id IS 'Keyed hash of the patient''s id.';
COMMENT ON COLUMN cells.model_digest IS 'The model bundle.';

CREATE OR REPLACE VIEW cell_attributes AS
SELECT slide_id, patient_id, cell_id, attribute, value, confidence, model_digest FROM fact_cell_attribute WHERE shown;
COMMENT ON VIEW cell_attributes IS 'Morphology of every cell of the current analyses, one row a cell and attribute; none for a model that tells no attributes.';
COMMENT ON COLUMN cell_attributes.slide_id IS 'The slide.';
COMMENT ON COLUMN cell_attributes.patient_id IS 'Keyed hash of the patient''s id.';
COMMENT ON COLUMN cell_attributes.cell_id IS 'Number of the cell in the slide, see cells.';
COMMENT ON COLUMN cell_attributes.attribute IS 'Name of the attribute.';
COMMENT ON COLUMN cell_attributes.value IS 'Most probable value of the attribute.';
COMMENT ON COLUMN cell_attributes.confidence IS 'Probability of that value.';
COMMENT ON COLUMN cell_attributes.model_digest IS 'The model bundle.';

CREATE OR REPLACE VIEW cell_counts AS
SELECT
    slide_id, patient_id, cell_class, cells::BIGINT AS cells,
    CASE WHEN in_differential AND counted_cells > 0 THEN 100.0::DOUBLE * cells / counted_cells END AS percent,
    title, category, lineage, in_differential, in_me, counted_cells, specimen, model_digest
FROM fact_cell_count WHERE shown;
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
    slide_id, patient_id, cell_class, attribute, value, cells::BIGINT AS cells,
    100.0::DOUBLE * cells / class_cells AS percent, class_cells::BIGINT AS class_cells, attribute_position, value_position,
    specimen, model_digest
FROM fact_attribute_count WHERE shown;
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
