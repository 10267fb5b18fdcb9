source("common.R")

several_case(
  "oats", "a split plot: blocks, and varieties in them",
  yield ~ nitro + Variety + (1 | Block / Variety), TRUE, c("Block", "Block:Variety"),
  "nlme/Oats", nlme::Oats,
  levels = list(Variety = c("Golden Rain", "Marvellous", "Victory")),
  tests = list(c("Variety[Marvellous]", "Variety[Victory]"))
)
