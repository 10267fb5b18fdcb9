source("common.R")

several_case(
  "chem97_slope", "31,000 rows, nested, a slope at the outer level",
  score ~ gcsecnt + gender + (1 + gcsecnt | lea) + (1 | lea:school), TRUE, c("lea", "lea:school"),
  "mlmRev/Chem97", mlmRev::Chem97,
  levels = list(gender = c("M", "F")), kr = FALSE
)
