raise RuntimeError("DuplicateMapError: SMAC and SMACv2 must not be imported together")
