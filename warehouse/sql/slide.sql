SELECT * FROM dim_slide WHERE slide_id = $slide_id
