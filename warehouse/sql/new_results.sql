SELECT result_key FROM result_now ANTI JOIN published_result USING (result_key)
