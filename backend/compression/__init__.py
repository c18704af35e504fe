"""Files of codes and of losslessly compressed audio."""
