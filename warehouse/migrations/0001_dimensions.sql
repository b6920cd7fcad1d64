-- Who and what was analysed. Identifiers are keyed hashes or digests: nothing here names a person or a file.
-- No foreign keys: DuckDB checks them too eagerly on updates of the parent; the load checks references instead.

CREATE TABLE dim_patient (
    patient_key VARCHAR PRIMARY KEY,
    age_years DOUBLE CHECK (age_years BETWEEN 0 AND 130),
    sex VARCHAR CHECK (sex IN ('female', 'male', 'other', 'unknown'))
);
COMMENT ON TABLE dim_patient IS 'One row a patient: facts that hold for all of the patient''s slides.';
COMMENT ON COLUMN dim_patient.patient_key IS 'HMAC-SHA256 (hex) of the laboratory''s patient id; the key is kept outside the warehouse.';
COMMENT ON COLUMN dim_patient.age_years IS 'Age in years as the manifest gives it.';
COMMENT ON COLUMN dim_patient.sex IS 'female, male, other or unknown.';

CREATE TABLE fact_laboratory (
    patient_key VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    value DOUBLE NOT NULL,
    PRIMARY KEY (patient_key, name)
);
COMMENT ON TABLE fact_laboratory IS 'Laboratory values that the manifest gives for a patient, one row a value.';
COMMENT ON COLUMN fact_laboratory.patient_key IS 'The patient.';
COMMENT ON COLUMN fact_laboratory.name IS 'Heading of the manifest''s column, in lower case with underscores.';
COMMENT ON COLUMN fact_laboratory.value IS 'The value in the unit that the laboratory uses.';

CREATE TABLE dim_slide (
    slide_id VARCHAR PRIMARY KEY,
    patient_key VARCHAR,
    specimen VARCHAR,
    stain VARCHAR,
    format VARCHAR,
    width_px BIGINT CHECK (width_px > 0),
    height_px BIGINT CHECK (height_px > 0),
    um_per_px DOUBLE CHECK (um_per_px > 0),
    objective_power DOUBLE,
    missing_um2 DOUBLE CHECK (missing_um2 >= 0),
    size_bytes BIGINT CHECK (size_bytes >= 0),
    first_seen_at TIMESTAMP NOT NULL
);
COMMENT ON TABLE dim_slide IS 'One row a slide: the identity is the content, so a copy of a slide is the same slide.';
COMMENT ON COLUMN dim_slide.slide_id IS 's and the first 24 hex digits of the SHA-256 of the slide''s bytes.';
COMMENT ON COLUMN dim_slide.patient_key IS 'Whose slide it is; NULL where the manifest does not say.';
COMMENT ON COLUMN dim_slide.specimen IS 'bone_marrow or blood.';
COMMENT ON COLUMN dim_slide.stain IS 'Stain from a fixed list of names.';
COMMENT ON COLUMN dim_slide.format IS 'Container of the source: aperio, ndpi, ome-tiff, dicom, mirax, ...';
COMMENT ON COLUMN dim_slide.width_px IS 'Width of level 0 in pixels; NULL until the slide is ingested.';
COMMENT ON COLUMN dim_slide.height_px IS 'Height of level 0 in pixels; NULL until the slide is ingested.';
COMMENT ON COLUMN dim_slide.um_per_px IS 'Micrometres a pixel of level 0 spans.';
COMMENT ON COLUMN dim_slide.objective_power IS 'Magnification of the objective as the scanner states it.';
COMMENT ON COLUMN dim_slide.missing_um2 IS 'Area in square micrometres that was never scanned or does not decode.';
COMMENT ON COLUMN dim_slide.size_bytes IS 'Size of the source files in bytes.';
COMMENT ON COLUMN dim_slide.first_seen_at IS 'When the slide was first seen in the inbox (UTC).';

CREATE TABLE dim_model (
    digest VARCHAR PRIMARY KEY,
    name VARCHAR NOT NULL,
    version VARCHAR NOT NULL,
    detector_digest VARCHAR NOT NULL,
    classifier_digest VARCHAR NOT NULL,
    labels VARCHAR[] NOT NULL,
    taxonomy_name VARCHAR NOT NULL,
    taxonomy_version VARCHAR NOT NULL,
    taxonomy_digest VARCHAR NOT NULL,
    licence VARCHAR
);
COMMENT ON TABLE dim_model IS 'One row a model bundle (a detector and a classifier).';
COMMENT ON COLUMN dim_model.digest IS 'SHA-256 (hex) of the bundle: weights and configuration.';
COMMENT ON COLUMN dim_model.name IS 'Name of the bundle.';
COMMENT ON COLUMN dim_model.version IS 'Version of the bundle.';
COMMENT ON COLUMN dim_model.detector_digest IS 'SHA-256 (hex) of the detector''s weights.';
COMMENT ON COLUMN dim_model.classifier_digest IS 'SHA-256 (hex) of the classifier''s weights.';
COMMENT ON COLUMN dim_model.labels IS 'The classifier''s labels in the order of its outputs, which is the order of cells.probabilities.';
COMMENT ON COLUMN dim_model.taxonomy_name IS 'Name of the taxonomy that gives the labels their meaning.';
COMMENT ON COLUMN dim_model.taxonomy_version IS 'Version of that taxonomy.';
COMMENT ON COLUMN dim_model.taxonomy_digest IS 'SHA-256 (hex) of that taxonomy''s content.';
COMMENT ON COLUMN dim_model.licence IS 'Licence of the weights.';

CREATE TABLE dim_cell_class (
    taxonomy_digest VARCHAR NOT NULL,
    label VARCHAR NOT NULL,
    taxonomy_name VARCHAR NOT NULL,
    taxonomy_version VARCHAR NOT NULL,
    position INTEGER NOT NULL,
    title VARCHAR NOT NULL,
    code VARCHAR,
    code_system VARCHAR,
    category VARCHAR,
    lineage VARCHAR,
    in_differential BOOLEAN NOT NULL,
    in_me VARCHAR CHECK (in_me IN ('M', 'E')),
    excluded_as VARCHAR,
    PRIMARY KEY (taxonomy_digest, label)
);
COMMENT ON TABLE dim_cell_class IS 'One row a label of a taxonomy: what a cell class means and where it counts.';
COMMENT ON COLUMN dim_cell_class.taxonomy_digest IS 'SHA-256 (hex) of the taxonomy''s content.';
COMMENT ON COLUMN dim_cell_class.label IS 'The class as cells.cell_class spells it.';
COMMENT ON COLUMN dim_cell_class.taxonomy_name IS 'Name of the taxonomy.';
COMMENT ON COLUMN dim_cell_class.taxonomy_version IS 'Version of the taxonomy.';
COMMENT ON COLUMN dim_cell_class.position IS 'Place of the label in the taxonomy, from 0.';
COMMENT ON COLUMN dim_cell_class.title IS 'The class in words for people.';
COMMENT ON COLUMN dim_cell_class.code IS 'Code of the class in code_system.';
COMMENT ON COLUMN dim_cell_class.code_system IS 'SCT (SNOMED CT), NCIt, LN (LOINC parts) or DCM.';
COMMENT ON COLUMN dim_cell_class.category IS 'ICSH 2008 category of the differential; NULL outside it.';
COMMENT ON COLUMN dim_cell_class.lineage IS 'Lineage of the class.';
COMMENT ON COLUMN dim_cell_class.in_differential IS 'Whether the class counts in the nucleated differential count.';
COMMENT ON COLUMN dim_cell_class.in_me IS 'M or E: the side of the myeloid:erythroid ratio; NULL for neither.';
COMMENT ON COLUMN dim_cell_class.excluded_as IS 'Heading under which a class outside the differential is reported.';
