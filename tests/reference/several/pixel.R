source("common.R")

several_case(
  "pixel", "nested, a slope at the outer level",
  pixel ~ day + day2 + (1 + day | Dog) + (1 | Dog:Side), TRUE, c("Dog", "Dog:Side"),
  "nlme/Pixel", nlme::Pixel,
  derive = list(day2 = list("square", "day")), tests = list(c("day", "day2"))
)
