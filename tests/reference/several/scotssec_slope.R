source("common.R")

several_case(
  "scotssec_slope", "crossed, a slope in one of the factors",
  attain ~ verbal + (1 + verbal | primary) + (1 | second), TRUE, c("primary", "second"),
  "mlmRev/ScotsSec", mlmRev::ScotsSec
)
