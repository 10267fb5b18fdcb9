source("common.R")

# The data are not here: the test reads those beside the project, or is skipped.
shared <- "../../../../shared/reference/sas_semiconductor.csv.gz"
several_case(
  "semiconductor", "one factor, the cells of two columns",
  resistance ~ ET * position + (1 | ET:Wafer), TRUE, "ET:Wafer",
  "shared/sas_semiconductor", read.csv(gzfile(shared), colClasses = c("numeric", rep("character", 4))),
  levels = list(ET = as.character(1:4), position = as.character(1:4)),
  tests = list(c(
    "ET[2]:position[2]", "ET[3]:position[2]", "ET[4]:position[2]", "ET[2]:position[3]",
    "ET[3]:position[3]", "ET[4]:position[3]", "ET[2]:position[4]", "ET[3]:position[4]",
    "ET[4]:position[4]"
  ))
)
