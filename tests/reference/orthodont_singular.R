source("common.R")

run_case(
  "orthodont_singular", "a third random effect, of age squared, that four ages cannot tell apart",
  distance ~ age + Sex + (1 + age + I(age^2) | Subject), FALSE, "Subject", "nlme/Orthodont",
  nlme::Orthodont,
  levels = list(Sex = c("Male", "Female"))
)
