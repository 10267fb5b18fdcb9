source("common.R")

several_case(
  "scotssec", "crossed, a cell in ten with rows",
  attain ~ verbal + sex + (1 | primary) + (1 | second), FALSE, c("primary", "second"),
  "mlmRev/ScotsSec", mlmRev::ScotsSec,
  levels = list(sex = c("M", "F"))
)
