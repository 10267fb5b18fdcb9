source("common.R")

run_case(
  "machines", "three levels, few clusters",
  score ~ Machine + (1 | Worker), TRUE, "Worker", "nlme/Machines", nlme::Machines,
  levels = list(Machine = c("A", "B", "C")), tests = list(c("Machine[B]", "Machine[C]"))
)
