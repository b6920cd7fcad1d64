SELECT detection_score, x_um, y_um, width_um, height_um FROM cells WHERE slide_id = $slide_id ORDER BY cell_id
