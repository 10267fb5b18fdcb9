source("common.R")

run_case(
  "dyestuff", "random intercepts and nothing else, balanced",
  Yield ~ 1 + (1 | Batch), TRUE, "Batch", "lme4/Dyestuff", lme4::Dyestuff
)
