source("common.R")

run_case(
  "ergostool", "four levels within clusters, one row a cell",
  effort ~ Type + (1 | Subject), TRUE, "Subject", "nlme/ergoStool", nlme::ergoStool,
  levels = list(Type = c("T1", "T2", "T3", "T4")),
  tests = list(c("Type[T2]", "Type[T3]", "Type[T4]"))
)
