source("common.R")

several_case(
  "pastes", "nested, intercepts alone", strength ~ 1 + (1 | batch / cask), TRUE,
  c("batch", "batch:cask"), "lme4/Pastes", lme4::Pastes
)
