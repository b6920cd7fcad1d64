SELECT notice FROM notice
