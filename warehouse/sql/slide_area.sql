SELECT
    s.slide_id, s.patient_key AS patient_id, s.specimen, s.stain, s.format, s.width_px, s.height_px, s.um_per_px,
    s.missing_um2, s.missing_um2 / (s.width_px * s.height_px * s.um_per_px * s.um_per_px) AS missing_share, s.first_seen_at
FROM dim_slide AS s WHERE s.slide_id = $slide_id
