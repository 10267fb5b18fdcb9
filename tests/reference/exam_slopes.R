source("common.R")

schgend <- c("mixed", "girls", "boys")
run_case(
  "exam_slopes", "slopes of three kinds of school, clusters of 2 to 198",
  normexam ~ standLRT * schgend + (1 + standLRT | school), FALSE, "school", "mlmRev/Exam",
  mlmRev::Exam,
  levels = list(schgend = schgend),
  tests = list(c("standLRT:schgend[girls]", "standLRT:schgend[boys]"))
)
