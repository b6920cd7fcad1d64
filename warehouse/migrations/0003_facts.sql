-- What was found. A result key or diagnosis key is stored once; a later key makes the earlier one no longer current.

CREATE TABLE fact_analysis (
    result_key VARCHAR PRIMARY KEY,
    slide_id VARCHAR NOT NULL,
    model_digest VARCHAR NOT NULL,
    config_digest VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    fields INTEGER NOT NULL CHECK (fields >= 0),
    cells INTEGER NOT NULL CHECK (cells >= 0),
    counted_cells INTEGER NOT NULL CHECK (counted_cells BETWEEN 0 AND cells),
    analysed_um2 DOUBLE NOT NULL CHECK (analysed_um2 >= 0),
    seconds DOUBLE NOT NULL CHECK (seconds >= 0),
    is_current BOOLEAN NOT NULL
);
COMMENT ON TABLE fact_analysis IS 'One row an analysis of a slide: this content, by this model, with this configuration.';
COMMENT ON COLUMN fact_analysis.result_key IS 'Digest over slide content, model digests and configuration.';
COMMENT ON COLUMN fact_analysis.slide_id IS 'The slide.';
COMMENT ON COLUMN fact_analysis.model_digest IS 'The model bundle, see dim_model.digest.';
COMMENT ON COLUMN fact_analysis.config_digest IS 'Digest of the configuration of the analysis.';
COMMENT ON COLUMN fact_analysis.run_id IS 'The run that made it.';
COMMENT ON COLUMN fact_analysis.fields IS 'Fields analysed.';
COMMENT ON COLUMN fact_analysis.cells IS 'Cells detected.';
COMMENT ON COLUMN fact_analysis.counted_cells IS 'Cells whose class is in the differential.';
COMMENT ON COLUMN fact_analysis.analysed_um2 IS 'Area analysed in square micrometres.';
COMMENT ON COLUMN fact_analysis.seconds IS 'Seconds of computing that the analysis took.';
COMMENT ON COLUMN fact_analysis.is_current IS 'Whether it is the slide''s latest analysis; at most one is.';

CREATE TABLE fact_field (
    result_key VARCHAR NOT NULL,
    field_id INTEGER NOT NULL,
    x_px BIGINT NOT NULL,
    y_px BIGINT NOT NULL,
    width_px BIGINT NOT NULL CHECK (width_px > 0),
    height_px BIGINT NOT NULL CHECK (height_px > 0),
    x_um DOUBLE NOT NULL,
    y_um DOUBLE NOT NULL,
    width_um DOUBLE NOT NULL,
    height_um DOUBLE NOT NULL,
    expected_cells DOUBLE NOT NULL,
    found_cells INTEGER NOT NULL CHECK (found_cells >= 0),
    readability DOUBLE NOT NULL,
    PRIMARY KEY (result_key, field_id)
);
COMMENT ON TABLE fact_field IS 'One row a field: a region of the slide that was analysed.';
COMMENT ON COLUMN fact_field.result_key IS 'The analysis.';
COMMENT ON COLUMN fact_field.field_id IS 'Number of the field in the analysis.';
COMMENT ON COLUMN fact_field.x_px IS 'Left edge in level-0 pixels.';
COMMENT ON COLUMN fact_field.y_px IS 'Top edge in level-0 pixels.';
COMMENT ON COLUMN fact_field.width_px IS 'Width in level-0 pixels.';
COMMENT ON COLUMN fact_field.height_px IS 'Height in level-0 pixels.';
COMMENT ON COLUMN fact_field.x_um IS 'Left edge in micrometres from the slide''s left edge.';
COMMENT ON COLUMN fact_field.y_um IS 'Top edge in micrometres from the slide''s top edge.';
COMMENT ON COLUMN fact_field.width_um IS 'Width in micrometres.';
COMMENT ON COLUMN fact_field.height_um IS 'Height in micrometres.';
COMMENT ON COLUMN fact_field.expected_cells IS 'Nucleated cells that the survey expected at low power.';
COMMENT ON COLUMN fact_field.found_cells IS 'Cells that the detector found.';
COMMENT ON COLUMN fact_field.readability IS '0 (not to be read) to 1 (an even, sharp monolayer).';

-- No key on this table: (result_key, cell_id) is unique because a result key is stored once, in one
-- transaction that checks it, and an index over every cell ever found would dwarf the data.
CREATE TABLE fact_cell (
    result_key VARCHAR NOT NULL,
    cell_id INTEGER NOT NULL,
    field_id INTEGER NOT NULL,
    x_um DOUBLE NOT NULL,
    y_um DOUBLE NOT NULL,
    width_um FLOAT NOT NULL CHECK (width_um > 0),
    height_um FLOAT NOT NULL CHECK (height_um > 0),
    cell_class VARCHAR NOT NULL,
    confidence FLOAT NOT NULL CHECK (confidence > 0 AND confidence <= 1),
    detection_score FLOAT NOT NULL,
    probabilities FLOAT[] NOT NULL,
    near_missing BOOLEAN NOT NULL
);
COMMENT ON TABLE fact_cell IS 'One row a detected cell.';
COMMENT ON COLUMN fact_cell.result_key IS 'The analysis.';
COMMENT ON COLUMN fact_cell.cell_id IS 'Number of the cell in the slide, from 0, top to bottom and left to right.';
COMMENT ON COLUMN fact_cell.field_id IS 'The field that owns the cell''s centre.';
COMMENT ON COLUMN fact_cell.x_um IS 'Centre in micrometres from the slide''s left edge.';
COMMENT ON COLUMN fact_cell.y_um IS 'Centre in micrometres from the slide''s top edge.';
COMMENT ON COLUMN fact_cell.width_um IS 'Width of the box in micrometres.';
COMMENT ON COLUMN fact_cell.height_um IS 'Height of the box in micrometres.';
COMMENT ON COLUMN fact_cell.cell_class IS 'Most probable class, a label of the model''s taxonomy.';
COMMENT ON COLUMN fact_cell.confidence IS 'Probability of that class.';
COMMENT ON COLUMN fact_cell.detection_score IS 'Score of the detector, 0 to 1.';
COMMENT ON COLUMN fact_cell.probabilities IS 'Probability of every class, in the order of dim_model.labels.';
COMMENT ON COLUMN fact_cell.near_missing IS 'Whether the cell touches an area without pixels or the slide''s edge.';

CREATE TABLE fact_patient_diagnosis (
    diagnosis_key VARCHAR PRIMARY KEY,
    patient_key VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    model_digest VARCHAR NOT NULL,
    status VARCHAR NOT NULL CHECK (status IN ('suggested', 'review', 'unclassified', 'insufficient', 'not_applicable')),
    diagnosis VARCHAR,
    probability DOUBLE CHECK (probability BETWEEN 0 AND 1),
    probabilities MAP(VARCHAR, DOUBLE) NOT NULL,
    reasons VARCHAR[] NOT NULL,
    slides INTEGER NOT NULL CHECK (slides >= 0),
    total_cells INTEGER NOT NULL CHECK (total_cells >= 0),
    blast_percent DOUBLE CHECK (blast_percent BETWEEN 0 AND 100),
    blast_low DOUBLE CHECK (blast_low BETWEEN 0 AND 100),
    blast_high DOUBLE CHECK (blast_high BETWEEN 0 AND 100),
    me_ratio DOUBLE CHECK (me_ratio >= 0),
    rule_set VARCHAR NOT NULL,
    rule_set_version VARCHAR NOT NULL,
    diagnosis_model VARCHAR,
    is_current BOOLEAN NOT NULL,
    CHECK ((status IN ('suggested', 'review')) = (diagnosis IS NOT NULL))
);
COMMENT ON TABLE fact_patient_diagnosis IS 'One row a suggestion for a patient. For Research Use Only. Not for use in diagnostic procedures.';
COMMENT ON COLUMN fact_patient_diagnosis.diagnosis_key IS 'Digest over the patient''s results, the rule set and the diagnosis model.';
COMMENT ON COLUMN fact_patient_diagnosis.patient_key IS 'The patient.';
COMMENT ON COLUMN fact_patient_diagnosis.run_id IS 'The run that made it.';
COMMENT ON COLUMN fact_patient_diagnosis.model_digest IS 'The model bundle that counted the cells.';
COMMENT ON COLUMN fact_patient_diagnosis.status IS 'suggested; review where a rule stands against it; unclassified, insufficient or not_applicable where there is no suggestion.';
COMMENT ON COLUMN fact_patient_diagnosis.diagnosis IS 'The suggestion; NULL unless the status is suggested or review.';
COMMENT ON COLUMN fact_patient_diagnosis.probability IS 'Probability of the suggestion by the diagnosis model; NULL where it did not speak.';
COMMENT ON COLUMN fact_patient_diagnosis.probabilities IS 'Probability of every diagnosis that the model knows.';
COMMENT ON COLUMN fact_patient_diagnosis.reasons IS 'Findings and rules in words, the weightiest first.';
COMMENT ON COLUMN fact_patient_diagnosis.slides IS 'Slides that were counted together.';
COMMENT ON COLUMN fact_patient_diagnosis.total_cells IS 'Cells in the denominator of the differential.';
COMMENT ON COLUMN fact_patient_diagnosis.blast_percent IS 'Blasts in percent of total_cells.';
COMMENT ON COLUMN fact_patient_diagnosis.blast_low IS 'Lower end of the 95 % Wilson interval of blast_percent.';
COMMENT ON COLUMN fact_patient_diagnosis.blast_high IS 'Upper end of the 95 % Wilson interval of blast_percent.';
COMMENT ON COLUMN fact_patient_diagnosis.me_ratio IS 'Myeloid:erythroid ratio; NULL where there is no erythroid cell.';
COMMENT ON COLUMN fact_patient_diagnosis.rule_set IS 'Name of the rule set.';
COMMENT ON COLUMN fact_patient_diagnosis.rule_set_version IS 'Version of the rule set.';
COMMENT ON COLUMN fact_patient_diagnosis.diagnosis_model IS 'Digest of the diagnosis model; NULL where rules alone spoke.';
COMMENT ON COLUMN fact_patient_diagnosis.is_current IS 'Whether it is the patient''s latest; at most one is.';

CREATE TABLE fact_differential (
    diagnosis_key VARCHAR NOT NULL,
    category VARCHAR NOT NULL,
    position INTEGER NOT NULL,
    cells INTEGER NOT NULL CHECK (cells >= 0),
    percent DOUBLE CHECK (percent BETWEEN 0 AND 100),
    low DOUBLE CHECK (low BETWEEN 0 AND 100),
    high DOUBLE CHECK (high BETWEEN 0 AND 100),
    PRIMARY KEY (diagnosis_key, category)
);
COMMENT ON TABLE fact_differential IS 'One row a category of a patient''s nucleated differential count.';
COMMENT ON COLUMN fact_differential.diagnosis_key IS 'The suggestion that rests on it.';
COMMENT ON COLUMN fact_differential.category IS 'ICSH 2008 category.';
COMMENT ON COLUMN fact_differential.position IS 'Place in the order of a report, from 0.';
COMMENT ON COLUMN fact_differential.cells IS 'Cells counted in the category.';
COMMENT ON COLUMN fact_differential.percent IS 'Percent of the denominator, rounded so that they sum to 100; NULL outside it.';
COMMENT ON COLUMN fact_differential.low IS 'Lower end of the 95 % Wilson interval in percent.';
COMMENT ON COLUMN fact_differential.high IS 'Upper end of the 95 % Wilson interval in percent.';
