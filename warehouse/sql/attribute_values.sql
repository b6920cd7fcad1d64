SELECT attribute, value FROM dim_attribute_value WHERE model_digest = $model_digest
ORDER BY attribute_position, value_position
