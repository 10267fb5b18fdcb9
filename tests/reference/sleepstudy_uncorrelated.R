source("common.R")

run_case(
  "sleepstudy_uncorrelated", "|| : a covariance fixed at 0",
  Reaction ~ Days + (1 + Days || Subject), TRUE, "Subject", "lme4/sleepstudy", lme4::sleepstudy
)
