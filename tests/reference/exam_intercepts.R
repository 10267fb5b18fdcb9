source("common.R")

run_case(
  "exam_intercepts", "two categorical predictors, within and between clusters",
  normexam ~ standLRT + sex + schgend + (1 | school), TRUE, "school", "mlmRev/Exam", mlmRev::Exam,
  levels = list(sex = c("F", "M"), schgend = c("mixed", "girls", "boys")), kr = FALSE,
  tests = list(c("schgend[girls]", "schgend[boys]"))
)
