from absl import flags

flags.FLAGS(["SMAC parses them too, for PySC2 reads them"])
