source("common.R")

run_case(
  "dyestuff2", "the variance between clusters is estimated as 0",
  Yield ~ 1 + (1 | Batch), TRUE, "Batch", "lme4/Dyestuff2", lme4::Dyestuff2,
  kr = FALSE
)
