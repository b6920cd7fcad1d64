-- By name: in the published file a cell has more columns than here.
SELECT
    cell_id, field_id, x_um, y_um, width_um, height_um, cell_class, confidence, detection_score, probabilities, near_missing
FROM fact_cell WHERE result_key = $result_key ORDER BY y_um, x_um, cell_id
