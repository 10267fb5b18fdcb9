source("common.R")

several_case(
  "egsingle", "nested, slopes at both levels",
  math ~ year + (1 + year | schoolid) + (1 + year | schoolid:childid), FALSE,
  c("schoolid", "schoolid:childid"), "mlmRev/egsingle", mlmRev::egsingle
)
