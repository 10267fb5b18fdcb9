source("common.R")

run_case(
  "orthodont", "a categorical predictor between clusters times a numeric one within",
  distance ~ age * Sex + (1 + age | Subject), TRUE, "Subject", "nlme/Orthodont", nlme::Orthodont,
  levels = list(Sex = c("Male", "Female")), tests = list(c("Sex[Female]", "age:Sex[Female]"))
)
