INSERT INTO dim_slide (
    slide_id, patient_key, specimen, stain, format, width_px, height_px, um_per_px, objective_power, missing_um2,
    size_bytes, first_seen_at, unscanned_um2
)
VALUES (
    $slide_id, $patient_key, $specimen, $stain, $format, $width_px, $height_px, $um_per_px, $objective_power,
    $missing_um2, $size_bytes, $first_seen_at, $unscanned_um2
)
ON CONFLICT DO UPDATE SET
    patient_key = coalesce(excluded.patient_key, dim_slide.patient_key),
    specimen = coalesce(excluded.specimen, dim_slide.specimen),
    stain = coalesce(excluded.stain, dim_slide.stain),
    format = coalesce(excluded.format, dim_slide.format),
    width_px = coalesce(excluded.width_px, dim_slide.width_px),
    height_px = coalesce(excluded.height_px, dim_slide.height_px),
    um_per_px = coalesce(excluded.um_per_px, dim_slide.um_per_px),
    objective_power = coalesce(excluded.objective_power, dim_slide.objective_power),
    missing_um2 = coalesce(excluded.missing_um2, dim_slide.missing_um2),
    unscanned_um2 = coalesce(excluded.unscanned_um2, dim_slide.unscanned_um2),
    size_bytes = coalesce(excluded.size_bytes, dim_slide.size_bytes)
