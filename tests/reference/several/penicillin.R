source("common.R")

several_case(
  "penicillin", "crossed and balanced", diameter ~ 1 + (1 | plate) + (1 | sample), TRUE,
  c("plate", "sample"), "lme4/Penicillin", lme4::Penicillin
)
