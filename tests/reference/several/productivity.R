source("common.R")

data(Produc, package = "plm")

# Munnell's states, in logarithms as in the manual of Stata.
several_case(
  "productivity", "three levels, growth in a panel of states",
  l_gsp ~ l_pc + l_emp + l_hwy + l_water + l_util + unemp + (1 | region / state), FALSE,
  c("region", "region:state"), "plm/Produc", Produc,
  derive = list(
    l_gsp = list("log", "gsp"), l_pc = list("log", "pc"), l_emp = list("log", "emp"),
    l_hwy = list("log", "hwy"), l_water = list("log", "water"), l_util = list("log", "util")
  )
)
