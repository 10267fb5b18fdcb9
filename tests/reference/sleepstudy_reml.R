source("common.R")

run_case(
  "sleepstudy_reml", "random slopes, balanced",
  Reaction ~ Days + (1 + Days | Subject), TRUE, "Subject", "lme4/sleepstudy", lme4::sleepstudy,
  tests = list(c("Intercept", "Days"))
)
