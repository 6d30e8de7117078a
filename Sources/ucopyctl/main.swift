print("ucopyd")
