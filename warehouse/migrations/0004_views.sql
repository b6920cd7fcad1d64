-- What analysts read. patient_id is the keyed hash: no view leads back to a name.

CREATE VIEW notice AS
SELECT 'For Research Use Only. Not for use in diagnostic procedures.' AS notice;
COMMENT ON VIEW notice IS 'For Research Use Only. Not for use in diagnostic procedures.';
COMMENT ON COLUMN notice.notice IS 'What holds for everything in this database.';

CREATE VIEW ledger_states AS
SELECT run_id, slide_id, attempt, state, reason, detail, entered_at, event_number
FROM ledger_event
QUALIFY row_number() OVER (PARTITION BY run_id, slide_id ORDER BY event_number DESC) = 1;
COMMENT ON VIEW ledger_states IS 'The last state of each slide in each run.';
COMMENT ON COLUMN ledger_states.run_id IS 'The run.';
COMMENT ON COLUMN ledger_states.slide_id IS 'The slide or entry.';
COMMENT ON COLUMN ledger_states.attempt IS 'How often the run began with the slide.';
COMMENT ON COLUMN ledger_states.state IS 'The last state.';
COMMENT ON COLUMN ledger_states.reason IS 'Reason code of a quarantine or deferral.';
COMMENT ON COLUMN ledger_states.detail IS 'More about the reason; empty in the published file.';
COMMENT ON COLUMN ledger_states.entered_at IS 'When the state was entered (UTC).';
COMMENT ON COLUMN ledger_states.event_number IS 'Number of the ledger''s event.';

CREATE VIEW slides AS
WITH latest AS (
    SELECT * FROM ledger_states
    QUALIFY row_number() OVER (PARTITION BY slide_id ORDER BY event_number DESC) = 1
)
SELECT
    latest.slide_id, s.patient_key AS patient_id, latest.state, latest.reason, s.specimen, s.stain, s.format,
    s.width_px, s.height_px, s.um_per_px, s.objective_power, s.missing_um2, s.size_bytes, s.first_seen_at,
    latest.entered_at AS changed_at, latest.run_id
FROM latest LEFT JOIN dim_slide AS s USING (slide_id);
COMMENT ON VIEW slides IS 'One row a slide with its latest state, slides in quarantine included.';
COMMENT ON COLUMN slides.slide_id IS 'The slide: from its content; e and a keyed hash for an entry whose content was never taken.';
COMMENT ON COLUMN slides.patient_id IS 'Keyed hash of the patient''s id; NULL where unknown.';
COMMENT ON COLUMN slides.state IS 'discovered ... done, quarantined or deferred.';
COMMENT ON COLUMN slides.reason IS 'Reason code of a quarantine or deferral.';
COMMENT ON COLUMN slides.specimen IS 'bone_marrow or blood.';
COMMENT ON COLUMN slides.stain IS 'Stain from a fixed list of names.';
COMMENT ON COLUMN slides.format IS 'Container of the source.';
COMMENT ON COLUMN slides.width_px IS 'Width in level-0 pixels.';
COMMENT ON COLUMN slides.height_px IS 'Height in level-0 pixels.';
COMMENT ON COLUMN slides.um_per_px IS 'Micrometres a level-0 pixel spans.';
COMMENT ON COLUMN slides.objective_power IS 'Magnification of the objective.';
COMMENT ON COLUMN slides.missing_um2 IS 'Area without pixels in square micrometres.';
COMMENT ON COLUMN slides.size_bytes IS 'Size of the source files in bytes.';
COMMENT ON COLUMN slides.first_seen_at IS 'When the slide was first seen (UTC).';
COMMENT ON COLUMN slides.changed_at IS 'When the state was entered (UTC).';
COMMENT ON COLUMN slides.run_id IS 'The run of the latest state.';

CREATE VIEW analyses AS
SELECT
    a.slide_id, s.patient_id, s.specimen, a.result_key, a.model_digest, a.config_digest, a.run_id, a.fields, a.cells,
    a.counted_cells, a.analysed_um2, a.seconds
FROM fact_analysis AS a JOIN slides AS s USING (slide_id)
WHERE a.is_current AND s.state <> 'quarantined';
COMMENT ON VIEW analyses IS 'The current analysis of each slide; a slide in quarantine has none.';
COMMENT ON COLUMN analyses.slide_id IS 'The slide.';
COMMENT ON COLUMN analyses.patient_id IS 'Keyed hash of the patient''s id.';
COMMENT ON COLUMN analyses.specimen IS 'bone_marrow or blood.';
COMMENT ON COLUMN analyses.result_key IS 'Digest over slide content, model digests and configuration.';
COMMENT ON COLUMN analyses.model_digest IS 'The model bundle, see models.digest.';
COMMENT ON COLUMN analyses.config_digest IS 'Digest of the configuration.';
COMMENT ON COLUMN analyses.run_id IS 'The run that made the analysis.';
COMMENT ON COLUMN analyses.fields IS 'Fields analysed.';
COMMENT ON COLUMN analyses.cells IS 'Cells detected.';
COMMENT ON COLUMN analyses.counted_cells IS 'Cells whose class is in the differential.';
COMMENT ON COLUMN analyses.analysed_um2 IS 'Area analysed in square micrometres.';
COMMENT ON COLUMN analyses.seconds IS 'Seconds of computing.';

CREATE VIEW cells AS
SELECT
    a.slide_id, c.cell_id, c.x_um, c.y_um, c.width_um, c.height_um, c.cell_class, c.confidence, c.detection_score,
    k.title, k.category, k.lineage, k.in_differential, c.near_missing, c.field_id, c.probabilities, a.patient_id,
    a.model_digest
FROM fact_cell AS c
JOIN analyses AS a USING (result_key)
JOIN dim_model AS m ON m.digest = a.model_digest
JOIN dim_cell_class AS k ON k.taxonomy_digest = m.taxonomy_digest AND k.label = c.cell_class;
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

CREATE VIEW cell_counts AS
WITH counted AS (
    SELECT result_key, cell_class, count(*) AS cells FROM fact_cell GROUP BY ALL
),
offered AS (
    SELECT a.slide_id, a.patient_id, a.specimen, a.result_key, a.counted_cells, a.model_digest, m.taxonomy_digest,
        unnest(m.labels) AS cell_class
    FROM analyses AS a JOIN dim_model AS m ON m.digest = a.model_digest
)
SELECT
    o.slide_id, o.patient_id, o.cell_class, coalesce(c.cells, 0) AS cells,
    CASE WHEN k.in_differential AND o.counted_cells > 0
        THEN 100.0::DOUBLE * coalesce(c.cells, 0) / o.counted_cells END AS percent,
    k.title, k.category, k.lineage, k.in_differential, k.in_me, o.counted_cells, o.specimen, o.model_digest
FROM offered AS o
JOIN dim_cell_class AS k ON k.taxonomy_digest = o.taxonomy_digest AND k.label = o.cell_class
LEFT JOIN counted AS c ON c.result_key = o.result_key AND c.cell_class = o.cell_class;
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

CREATE VIEW patient_diagnoses AS
SELECT
    d.patient_key AS patient_id, d.diagnosis, d.probability, d.status, d.reasons, d.slides, d.total_cells,
    d.blast_percent, d.blast_low, d.blast_high, d.me_ratio, d.probabilities, p.age_years, p.sex, d.rule_set,
    d.rule_set_version, d.diagnosis_model, d.model_digest, d.run_id,
    'For Research Use Only. Not for use in diagnostic procedures.' AS notice
FROM fact_patient_diagnosis AS d LEFT JOIN dim_patient AS p USING (patient_key)
WHERE d.is_current AND EXISTS (SELECT 1 FROM dim_slide AS s WHERE s.patient_key = d.patient_key);
COMMENT ON VIEW patient_diagnoses IS 'The current suggestion for each patient. For Research Use Only. Not for use in diagnostic procedures.';
COMMENT ON COLUMN patient_diagnoses.patient_id IS 'Keyed hash of the patient''s id.';
COMMENT ON COLUMN patient_diagnoses.diagnosis IS 'The suggestion; NULL unless the status is suggested or review.';
COMMENT ON COLUMN patient_diagnoses.probability IS 'Probability of the suggestion by the diagnosis model.';
COMMENT ON COLUMN patient_diagnoses.status IS 'suggested; review where a rule stands against it; unclassified, insufficient or not_applicable where there is no suggestion.';
COMMENT ON COLUMN patient_diagnoses.reasons IS 'Findings and rules in words, the weightiest first.';
COMMENT ON COLUMN patient_diagnoses.slides IS 'Slides that were counted together.';
COMMENT ON COLUMN patient_diagnoses.total_cells IS 'Cells in the denominator of the differential.';
COMMENT ON COLUMN patient_diagnoses.blast_percent IS 'Blasts in percent of total_cells.';
COMMENT ON COLUMN patient_diagnoses.blast_low IS 'Lower end of the 95 % Wilson interval.';
COMMENT ON COLUMN patient_diagnoses.blast_high IS 'Upper end of the 95 % Wilson interval.';
COMMENT ON COLUMN patient_diagnoses.me_ratio IS 'Myeloid:erythroid ratio; NULL where there is no erythroid cell.';
COMMENT ON COLUMN patient_diagnoses.probabilities IS 'Probability of every diagnosis that the model knows.';
COMMENT ON COLUMN patient_diagnoses.age_years IS 'Age in years as the manifest gives it.';
COMMENT ON COLUMN patient_diagnoses.sex IS 'female, male, other or unknown.';
COMMENT ON COLUMN patient_diagnoses.rule_set IS 'Name of the rule set.';
COMMENT ON COLUMN patient_diagnoses.rule_set_version IS 'Version of the rule set.';
COMMENT ON COLUMN patient_diagnoses.diagnosis_model IS 'Digest of the diagnosis model.';
COMMENT ON COLUMN patient_diagnoses.model_digest IS 'The model bundle that counted the cells.';
COMMENT ON COLUMN patient_diagnoses.run_id IS 'The run that made it.';
COMMENT ON COLUMN patient_diagnoses.notice IS 'What every reader of a suggestion must be told.';

CREATE VIEW differentials AS
SELECT d.patient_key AS patient_id, f.category, f.cells, f.percent, f.low, f.high, f.position, d.total_cells
FROM fact_differential AS f JOIN fact_patient_diagnosis AS d USING (diagnosis_key)
WHERE d.is_current AND EXISTS (SELECT 1 FROM dim_slide AS s WHERE s.patient_key = d.patient_key);
COMMENT ON VIEW differentials IS 'The current nucleated differential count of each patient, one row a category.';
COMMENT ON COLUMN differentials.patient_id IS 'Keyed hash of the patient''s id.';
COMMENT ON COLUMN differentials.category IS 'ICSH 2008 category.';
COMMENT ON COLUMN differentials.cells IS 'Cells counted.';
COMMENT ON COLUMN differentials.percent IS 'Percent of the denominator; sums to 100 a patient.';
COMMENT ON COLUMN differentials.low IS 'Lower end of the 95 % Wilson interval in percent.';
COMMENT ON COLUMN differentials.high IS 'Upper end of the 95 % Wilson interval in percent.';
COMMENT ON COLUMN differentials.position IS 'Place in the order of a report, from 0.';
COMMENT ON COLUMN differentials.total_cells IS 'Cells in the denominator.';

CREATE VIEW fields AS
SELECT a.slide_id, f.* EXCLUDE (result_key) FROM fact_field AS f JOIN analyses AS a USING (result_key);
COMMENT ON VIEW fields IS 'The fields of the current analyses.';
COMMENT ON COLUMN fields.slide_id IS 'The slide.';
COMMENT ON COLUMN fields.field_id IS 'Number of the field in the slide.';
COMMENT ON COLUMN fields.x_px IS 'Left edge in level-0 pixels.';
COMMENT ON COLUMN fields.y_px IS 'Top edge in level-0 pixels.';
COMMENT ON COLUMN fields.width_px IS 'Width in level-0 pixels.';
COMMENT ON COLUMN fields.height_px IS 'Height in level-0 pixels.';
COMMENT ON COLUMN fields.x_um IS 'Left edge in micrometres from the slide''s left edge.';
COMMENT ON COLUMN fields.y_um IS 'Top edge in micrometres from the slide''s top edge.';
COMMENT ON COLUMN fields.width_um IS 'Width in micrometres.';
COMMENT ON COLUMN fields.height_um IS 'Height in micrometres.';
COMMENT ON COLUMN fields.expected_cells IS 'Nucleated cells that the survey expected.';
COMMENT ON COLUMN fields.found_cells IS 'Cells that the detector found.';
COMMENT ON COLUMN fields.readability IS '0 (not to be read) to 1 (an even, sharp monolayer).';

CREATE VIEW runs AS
SELECT
    run_id, started_at, finished_at, state, "trigger", discovered, done, quarantined, deferred, code_version,
    date_diff('millisecond', started_at, finished_at) / 1000.0::DOUBLE AS seconds
FROM dim_run;
COMMENT ON VIEW runs IS 'Every run, one row a run.';
COMMENT ON COLUMN runs.run_id IS 'Identifier of the run.';
COMMENT ON COLUMN runs.started_at IS 'When the run started (UTC).';
COMMENT ON COLUMN runs.finished_at IS 'When the run ended (UTC); NULL while it runs.';
COMMENT ON COLUMN runs.state IS 'running, done, done_with_quarantine, failed or crashed.';
COMMENT ON COLUMN runs."trigger" IS 'What started the run.';
COMMENT ON COLUMN runs.discovered IS 'Slides that the run found.';
COMMENT ON COLUMN runs.done IS 'Slides that ended done.';
COMMENT ON COLUMN runs.quarantined IS 'Slides that ended in quarantine.';
COMMENT ON COLUMN runs.deferred IS 'Slides put off to a later run.';
COMMENT ON COLUMN runs.code_version IS 'Version of Marrow that ran.';
COMMENT ON COLUMN runs.seconds IS 'Seconds from start to end.';

CREATE VIEW models AS
SELECT name, version, digest, detector_digest, classifier_digest, taxonomy_name, taxonomy_version, taxonomy_digest, labels,
    licence
FROM dim_model;
COMMENT ON VIEW models IS 'Every model bundle that was used.';
COMMENT ON COLUMN models.name IS 'Name of the bundle.';
COMMENT ON COLUMN models.version IS 'Version of the bundle.';
COMMENT ON COLUMN models.digest IS 'SHA-256 (hex) of the bundle.';
COMMENT ON COLUMN models.detector_digest IS 'SHA-256 (hex) of the detector''s weights.';
COMMENT ON COLUMN models.classifier_digest IS 'SHA-256 (hex) of the classifier''s weights.';
COMMENT ON COLUMN models.taxonomy_name IS 'Name of the taxonomy.';
COMMENT ON COLUMN models.taxonomy_version IS 'Version of the taxonomy.';
COMMENT ON COLUMN models.taxonomy_digest IS 'SHA-256 (hex) of the taxonomy''s content, see cell_classes.';
COMMENT ON COLUMN models.labels IS 'Labels in the order of cells.probabilities.';
COMMENT ON COLUMN models.licence IS 'Licence of the weights.';

CREATE VIEW cell_classes AS
SELECT taxonomy_name, taxonomy_version, label, title, code, code_system, category, lineage, in_differential, in_me,
    excluded_as, position, taxonomy_digest
FROM dim_cell_class;
COMMENT ON VIEW cell_classes IS 'What each cell class means and where it counts.';
COMMENT ON COLUMN cell_classes.taxonomy_name IS 'Name of the taxonomy.';
COMMENT ON COLUMN cell_classes.taxonomy_version IS 'Version of the taxonomy.';
COMMENT ON COLUMN cell_classes.label IS 'The class as cells.cell_class spells it.';
COMMENT ON COLUMN cell_classes.title IS 'The class in words.';
COMMENT ON COLUMN cell_classes.code IS 'Code of the class.';
COMMENT ON COLUMN cell_classes.code_system IS 'System of the code.';
COMMENT ON COLUMN cell_classes.category IS 'ICSH 2008 category; NULL outside the differential.';
COMMENT ON COLUMN cell_classes.lineage IS 'Lineage.';
COMMENT ON COLUMN cell_classes.in_differential IS 'Whether the class counts in the differential.';
COMMENT ON COLUMN cell_classes.in_me IS 'M or E.';
COMMENT ON COLUMN cell_classes.excluded_as IS 'Heading under which a class outside the differential is reported.';
COMMENT ON COLUMN cell_classes.position IS 'Place in the taxonomy.';
COMMENT ON COLUMN cell_classes.taxonomy_digest IS 'SHA-256 (hex) of the taxonomy''s content.';

CREATE VIEW laboratory AS
SELECT patient_key AS patient_id, name, value FROM fact_laboratory;
COMMENT ON VIEW laboratory IS 'Laboratory values of the manifest.';
COMMENT ON COLUMN laboratory.patient_id IS 'Keyed hash of the patient''s id.';
COMMENT ON COLUMN laboratory.name IS 'Name of the value.';
COMMENT ON COLUMN laboratory.value IS 'The value in the laboratory''s unit.';

CREATE VIEW validations AS
SELECT run_id, gate, slide_id, suite, expectation, column_name, success, raised, unexpected_count, observed
FROM expectation_result;
COMMENT ON VIEW validations IS 'Outcome of every expectation of every validation.';
COMMENT ON COLUMN validations.run_id IS 'The run.';
COMMENT ON COLUMN validations.gate IS 'manifest, cells or night.';
COMMENT ON COLUMN validations.slide_id IS 'The slide; NULL for a gate of the whole run.';
COMMENT ON COLUMN validations.suite IS 'Name of the suite.';
COMMENT ON COLUMN validations.expectation IS 'What was expected.';
COMMENT ON COLUMN validations.column_name IS 'Column or columns that were looked at.';
COMMENT ON COLUMN validations.success IS 'Whether the expectation was met.';
COMMENT ON COLUMN validations.raised IS 'Whether the check itself failed.';
COMMENT ON COLUMN validations.unexpected_count IS 'Rows that did not meet it.';
COMMENT ON COLUMN validations.observed IS 'The figure that was observed.';

CREATE VIEW night AS
WITH spent AS (
    SELECT run_id, slide_id, sum(seconds) AS seconds FROM stage_time WHERE slide_id IS NOT NULL GROUP BY ALL
)
SELECT
    l.run_id, l.slide_id, s.patient_key AS patient_id, l.state, l.reason, l.attempt, a.fields, a.cells, a.counted_cells,
    coalesce(a.run_id <> l.run_id, false) AS unchanged, t.seconds, l.entered_at
FROM ledger_states AS l
LEFT JOIN dim_slide AS s USING (slide_id)
LEFT JOIN fact_analysis AS a ON a.slide_id = l.slide_id AND a.is_current AND l.state = 'done'
LEFT JOIN spent AS t ON t.run_id = l.run_id AND t.slide_id = l.slide_id;
COMMENT ON VIEW night IS 'What a run did, one row a slide.';
COMMENT ON COLUMN night.run_id IS 'The run.';
COMMENT ON COLUMN night.slide_id IS 'The slide or entry.';
COMMENT ON COLUMN night.patient_id IS 'Keyed hash of the patient''s id.';
COMMENT ON COLUMN night.state IS 'State with which the slide ended in this run.';
COMMENT ON COLUMN night.reason IS 'Reason code of a quarantine or deferral.';
COMMENT ON COLUMN night.attempt IS 'How often the run began with the slide.';
COMMENT ON COLUMN night.fields IS 'Fields analysed.';
COMMENT ON COLUMN night.cells IS 'Cells detected.';
COMMENT ON COLUMN night.counted_cells IS 'Cells whose class is in the differential.';
COMMENT ON COLUMN night.unchanged IS 'Whether the result of an earlier run still held.';
COMMENT ON COLUMN night.seconds IS 'Seconds that all stages spent on the slide.';
COMMENT ON COLUMN night.entered_at IS 'When the state was entered (UTC).';

CREATE VIEW stage_times AS
SELECT run_id, slide_id, stage, started_at, seconds FROM stage_time;
COMMENT ON VIEW stage_times IS 'How long each stage took.';
COMMENT ON COLUMN stage_times.run_id IS 'The run.';
COMMENT ON COLUMN stage_times.slide_id IS 'The slide; NULL for a stage of the whole run.';
COMMENT ON COLUMN stage_times.stage IS 'The stage.';
COMMENT ON COLUMN stage_times.started_at IS 'When it began (UTC).';
COMMENT ON COLUMN stage_times.seconds IS 'Duration in seconds.';
