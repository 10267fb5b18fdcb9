source("common.R")

run_case(
  "sleepstudy_ml", "random slopes by maximum likelihood",
  Reaction ~ Days + (1 + Days | Subject), FALSE, "Subject", "lme4/sleepstudy", lme4::sleepstudy,
  tests = list(c("Intercept", "Days"))
)
