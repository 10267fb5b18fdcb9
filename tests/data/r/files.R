# The files of this folder, made with R 4.2.2: in this folder, Rscript files.R

rows <- data.frame(
  school = factor(c("b", "1.10", "1.1", NA), levels = c("b", "1.10", "1.1", "unused")),
  grade = factor(c("low", "high", NA, "mid"), levels = c("low", "mid", "high"), ordered = TRUE),
  y = c(1.5, NA, NaN, -2), n = c(1L, NA, 3L, 4L), ok = c(TRUE, NA, FALSE, TRUE),
  day = as.Date(c("2020-01-31", NA, "1969-12-31", "2001-02-03")),
  at = as.POSIXct(c("2020-01-31 12:30", NA, "1999-12-31 00:00", "2001-02-03 04:05"), tz = "UTC"),
  text = c("é", NA, "", "NA"),
  class = factor(c("1.1", "1.10", "1.10", "1.1"))
)
saveRDS(rows, "rows.rds")
saveRDS(rows, "plain.rds", compress = FALSE)
saveRDS(rows, "xz.rds", compress = "xz", version = 2)

odd <- data.frame(g = 1:2, row.names = c("first", "second"))
odd$lasted <- as.difftime(c(1, 2.5), units = "hours")
odd$local <- as.POSIXct("2020-07-01 00:30", tz = "Europe/Brussels") + c(0, 3600)
odd$here <- structure(c(0, 86400), class = c("POSIXct", "POSIXt"))
odd$pair <- matrix(1:4, 2)
odd$parts <- list(1, 2:3)
# As the packages haven and bit64 keep labelled codes and long numbers.
odd$sex <- structure(c(1, 2),
  labels = c(boy = 1, girl = 2), label = "Sex of the child",
  class = c("haven_labelled", "vctrs_vctr", "double")
)
long <- readBin(as.raw(c(1:7, 1, rep(0, 7), 0x80)), "double", 2, endian = "little")
odd$long <- structure(long, class = "integer64")
class(odd) <- c("tbl_df", "tbl", "data.frame")

number <- 7
save(odd, number, file = "workspace.RData")
save(rows, odd, number, file = "several.RData")
twice <- data.frame(g = 1:2, y = 3:4)
names(twice) <- c("g", "g")
saveRDS(twice, "twice.rds")
saveRDS(list(a = 1, b = "x"), "list.rds")
