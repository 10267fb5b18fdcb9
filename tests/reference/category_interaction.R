source("common.R")

recipe <- list(
  seed = 21616, sizes = rep(c(5, 7, 9), 12),
  columns = list(t = time(-2, 1), arm = category(c("a", "b", "c"), "cluster")),
  mean = list(
    term(5, "1"), term(0.5, "t"), term(1, "arm[b]"), term(-1, "arm[c]"), term(0.4, "t", "arm[c]")
  ),
  random = random(c("1", "t"), lower(2, 1, 0.2, 0.4)), sd = 1
)
run_case(
  "category_interaction", "three arms with slopes of their own, unbalanced",
  y ~ t * arm + (1 + t | g), TRUE, "g", recipe, levels = list(arm = c("a", "b", "c")),
  tests = list(c("arm[b]", "arm[c]"), c("t:arm[b]", "t:arm[c]"))
)
