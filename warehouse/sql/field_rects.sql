SELECT x_um, y_um, width_um, height_um FROM fields WHERE slide_id = $slide_id ORDER BY field_id
