source("common.R")

run_case(
  "machines_slopes", "effects of a categorical predictor that vary between six clusters",
  score ~ Machine + (1 + Machine | Worker), TRUE, "Worker", "nlme/Machines", nlme::Machines,
  levels = list(Machine = c("A", "B", "C")), tests = list(c("Machine[B]", "Machine[C]"))
)
