-- What of a slide is not known: damage and what the scanner left out are told apart, each as an area and as a share.

ALTER TABLE dim_slide ADD COLUMN unscanned_um2 DOUBLE;
COMMENT ON COLUMN dim_slide.missing_um2 IS 'Area in square micrometres whose tiles do not decode: damage.';
COMMENT ON COLUMN dim_slide.unscanned_um2 IS 'Area in square micrometres that the scanner left out: no damage. NULL for a slide loaded before this was kept.';

CREATE OR REPLACE VIEW slides AS
WITH latest AS (
    SELECT * FROM ledger_states
    QUALIFY row_number() OVER (PARTITION BY slide_id ORDER BY event_number DESC) = 1
),
sized AS (
    SELECT *, width_px * um_per_px * height_px * um_per_px AS area_um2 FROM dim_slide
)
SELECT
    latest.slide_id, s.patient_key AS patient_id, latest.state, latest.reason, s.specimen, s.stain, s.format,
    s.width_px, s.height_px, s.um_per_px, s.objective_power, s.missing_um2, s.size_bytes, s.first_seen_at,
    latest.entered_at AS changed_at, latest.run_id, s.unscanned_um2,
    100.0::DOUBLE * s.missing_um2 / s.area_um2 AS missing_percent,
    100.0::DOUBLE * s.unscanned_um2 / s.area_um2 AS unscanned_percent
FROM latest LEFT JOIN sized AS s USING (slide_id);
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
COMMENT ON COLUMN slides.missing_um2 IS 'Area in square micrometres whose tiles do not decode: damage. Cells beside it have near_missing.';
COMMENT ON COLUMN slides.size_bytes IS 'Size of the source files in bytes.';
COMMENT ON COLUMN slides.first_seen_at IS 'When the slide was first seen (UTC).';
COMMENT ON COLUMN slides.changed_at IS 'When the state was entered (UTC).';
COMMENT ON COLUMN slides.run_id IS 'The run of the latest state.';
COMMENT ON COLUMN slides.unscanned_um2 IS 'Area in square micrometres that the scanner left out: no damage. NULL for a slide loaded before this was kept.';
COMMENT ON COLUMN slides.missing_percent IS 'missing_um2 in percent of the slide''s area.';
COMMENT ON COLUMN slides.unscanned_percent IS 'unscanned_um2 in percent of the slide''s area.';
